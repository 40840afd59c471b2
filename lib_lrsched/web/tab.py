"""The tab "LR Schedule" as gradio blocks.

The body is our own markup: no gradio event, nothing queued (so `--no-gradio-queue` works), nothing that the
host would write to its ui-config.json. gradio is imported inside the function, so that importing this file
has no effect; the host's modules are not known here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import _page

if TYPE_CHECKING:
    import gradio

TITLE = "LR Schedule"
TAB_ID = "lrsched_tab"


def build_tab() -> gradio.Blocks:
    """The tab's blocks, to be registered as (blocks, TITLE, TAB_ID) or rendered inside a gradio tab."""
    import gradio as gr

    with gr.Blocks(analytics_enabled=False) as blocks:
        body = gr.HTML(value=_page.page(), elem_id="lrsched_body")
        # Read by the host when it collects what to keep in ui-config.json.
        body.do_not_save_to_config = True
    return blocks

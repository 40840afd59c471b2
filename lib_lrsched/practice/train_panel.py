"""The Train tab of the standalone page: the host's fields and elem_ids, over the practice host.

It knows gradio and the practice service, nothing of the WebUI. Every event has queue=False, as the WebUI needs it
under --no-gradio-queue; a training runs in the thread of its request, one at a time.
"""

from __future__ import annotations

import html
import logging
from typing import TYPE_CHECKING, Any, NamedTuple

from lib_lrsched.storage.run_state import KINDS

from . import new_files, service, shared, textual_inversion
from .trainer import queue_lock

if TYPE_CHECKING:
    import gradio

logger = logging.getLogger(__name__)

TEMPLATE = "subject.txt"
IMAGES_SHOWN = 4
FIRST_STEPS = 300

class Inputs(NamedTuple):
    """The fields that a training reads, in the order of `_run_fields`; an empty number is None, which the host refuses."""

    embedding_rate: str
    hypernetwork_rate: str
    clip_mode: str
    clip: str
    batch: int
    accumulate: int
    folder: str
    log: str
    template: str
    steps: int
    previews_every: int
    copies_every: int
    width: int
    height: int
    varsize: bool
    shuffle_tags: bool
    tag_drop_out: float
    latent_sampling: str
    use_weight: bool

    def choices(self) -> dict[str, Any]:
        """The keyword arguments of service.train."""
        return {
            "data": self.folder,
            "batch": self.batch,
            "accumulate": self.accumulate,
            "clip_mode": self.clip_mode,
            "clip": self.clip,
            "template": self.template,
            "log": self.log or None,
            "previews_every": self.previews_every,
            "copies_every": self.copies_every,
            "width": self.width,
            "height": self.height,
            "varsize": self.varsize,
            "shuffle_tags": self.shuffle_tags,
            "tag_drop_out": self.tag_drop_out,
            "latent_sampling": self.latent_sampling,
            "use_weight": self.use_weight,
        }


def train(kind: str, name: str | None, values: tuple[Any, ...]) -> tuple[str, str, list[Any]]:
    """Trains; returns what #ti_output, #ti_error and the gallery show. Raises nothing: errors are shown."""
    inputs = Inputs(*values)
    rate = inputs.embedding_rate if kind == "embedding" else inputs.hypernetwork_rate
    chosen = name or ""
    try:
        with queue_lock:
            new_files.check_same_file(kind, chosen)
            result = service.train(kind, chosen, rate, inputs.steps, **inputs.choices())
            prompt = service.sample_prompt(chosen)
            images = [(image, f"{prompt}, {number} of seed 0") for number, image in
                      enumerate(service.sample_concept(chosen, IMAGES_SHOWN, 0, prompt), 1)]
    except Exception as error:  # as the host's wrapper: whatever was raised is shown in #ti_error
        logger.info("training did not start", exc_info=True)
        return "", error_html(error), []
    ending = "interrupted" if result.interrupted else "finished"
    said = f"Training {ending} at {result.trained.step} steps.\nSaved to {result.path}"
    return said, "", images


def create(kind: str, name: str, first: Any) -> tuple[Any, str, str]:
    """Makes a new embedding (first: number of vectors) or hypernetwork; returns the drop-down, output and error."""
    import gradio as gr

    if not name.strip():
        return gr.update(), "", error_html(ValueError("a name is missing"))
    try:
        new_files.check_new_name(name.strip())
    except ValueError as error:
        return gr.update(), "", error_html(error)
    options = {"vectors": int(first)} if kind == "embedding" else {"layer_structure": first}
    try:
        with queue_lock:
            path = service.create(kind, name.strip(), **options)
    except Exception as error:  # noqa: BLE001 as above
        return gr.update(), "", error_html(error)
    return gr.update(choices=names(kind), value=path.stem), f"Created: {path}", ""


def error_html(error: Exception) -> str:
    """An exception as the host shows it."""
    return f"<div class='error'>{html.escape(f'{type(error).__name__}: {error}')}</div>"


def names(kind: str) -> list[str]:
    """What can be trained."""
    return service.embeddings() if kind == "embedding" else service.hypernetworks()


def refreshed() -> tuple[Any, Any]:
    """Both drop-downs' choices, for a page that is opened or loaded again."""
    import gradio as gr

    # A look at the folder makes new embedding objects: not under a training that holds the old ones.
    if not queue_lock.acquire(blocking=False):
        return gr.update(choices=service.known("embedding")), gr.update(choices=service.known("hypernetwork"))
    try:
        return gr.update(choices=names("embedding")), gr.update(choices=names("hypernetwork"))
    finally:
        queue_lock.release()


def build(root_blocks: gradio.Blocks) -> None:
    """Adds the panel inside the blocks or tab that is open; `root_blocks` refreshes the lists at each page load."""
    import gradio as gr

    with gr.Row(equal_height=False):
        with gr.Column():
            new = _create_fields()
            (embedding, embedding_again), (hypernetwork, hypernetwork_again) = _name_fields()
            fields = _run_fields()
            with gr.Row():
                go_embedding = gr.Button("Train Embedding", variant="primary", elem_id="train_train_embedding")
                stop = gr.Button("Interrupt", elem_id="train_interrupt_training")
                go_hypernetwork = gr.Button("Train Hypernetwork", variant="primary", elem_id="train_train_hypernetwork")
        with gr.Column(elem_id="ti_gallery_container"):
            output = gr.Text(elem_id="ti_output", value="", show_label=False, lines=2)
            gallery = gr.Gallery(label="Output", show_label=False, elem_id="ti_gallery", columns=4, height=220)
            outcome = gr.HTML(elem_id="ti_error", value="")
    said = [output, outcome]
    for kind, (name, first, press), choice in zip(KINDS, new, (embedding, hypernetwork), strict=True):
        press.click(_bound(create, kind), [name, first], [choice, *said], queue=False)
    for kind, press, choice in (
        ("embedding", go_embedding, embedding),
        ("hypernetwork", go_hypernetwork, hypernetwork),
    ):
        press.click(_trainer(kind), [choice, *fields], [*said, gallery], queue=False)
    for again in (embedding_again, hypernetwork_again):
        again.click(refreshed, None, [embedding, hypernetwork], queue=False)
    stop.click(shared.state.interrupt, None, None, queue=False)
    root_blocks.load(refreshed, None, [embedding, hypernetwork], queue=False)


def _bound(function: Any, kind: str) -> Any:
    return lambda *values: function(kind, *values)


def _trainer(kind: str) -> Any:
    return lambda name, *values: train(kind, name, values)


def _create_fields() -> tuple[tuple[Any, Any, Any], tuple[Any, Any, Any]]:
    import gradio as gr

    with gr.Tabs(elem_id="train_tabs"):
        with gr.Tab("Create embedding"):
            with gr.Row():
                embedding_name = gr.Textbox(label="Name", elem_id="train_new_embedding_name")
                vectors = gr.Slider(1, 8, value=1, step=1, label="Number of vectors per token", elem_id="train_nvpt")
            embedding = gr.Button("Create embedding", variant="primary", elem_id="train_create_embedding")
        with gr.Tab("Create hypernetwork"):
            with gr.Row():
                network_name = gr.Textbox(label="Name", elem_id="train_new_hypernetwork_name")
                layers = gr.Textbox("1, 2, 1", label="Layer structure", elem_id="train_new_hypernetwork_layer_structure")
            network = gr.Button("Create hypernetwork", variant="primary", elem_id="train_create_hypernetwork")
    return (embedding_name, vectors, embedding), (network_name, layers, network)


def _name_fields() -> list[tuple[Any, Any]]:
    """For each kind the drop-down and the button that looks at the folder again, with the host's ids."""
    import gradio as gr

    with gr.Row(equal_height=False):
        return [_name_field(kind) for kind in KINDS]


def _name_field(kind: str) -> tuple[Any, Any]:
    import gradio as gr

    choice = gr.Dropdown(label=kind.title(), elem_id=f"train_{kind}", choices=names(kind), min_width=160)
    again = gr.Button("Refresh", size="sm", min_width=80, scale=0, elem_id=f"refresh_train_{kind}_name")
    return choice, again


def _run_fields() -> list[Any]:
    """The fields of a training, in the order of Inputs."""
    import gradio as gr

    templates = sorted(textual_inversion.textual_inversion_templates)
    with gr.Row():
        rate = gr.Textbox("0.005", label="Embedding Learning rate", elem_id="train_embedding_learn_rate")
        network_rate = gr.Textbox("0.00001", label="Hypernetwork Learning rate", elem_id="train_hypernetwork_learn_rate")
    with gr.Row():
        mode = gr.Dropdown(["disabled", "value", "norm"], value="disabled", label="Gradient Clipping")
        clip = gr.Textbox(placeholder="Gradient clip value", value="0.1", show_label=False)
    with gr.Row():
        batch = _count("Batch size", "train_batch_size", 1)
        accumulate = _count("Gradient accumulation steps", "train_gradient_step", 1)
    folder = gr.Textbox(str(service.CONCEPT), label="Dataset directory", elem_id="train_dataset_directory")
    with gr.Row():
        log = gr.Textbox(shared.cmd_opts.textual_inversion_dir, label="Log directory", elem_id="train_log_directory")
        template = gr.Dropdown(templates, value=TEMPLATE, label="Prompt template", elem_id="train_template_file")
    with gr.Row():
        steps = _count("Max steps", "train_steps", FIRST_STEPS)
        images = _count("An image every N steps, 0: never", "train_create_image_every", 0)
        copies = _count("A copy every N steps, 0: never", "train_save_embedding_every", 0)
    with gr.Row():
        width = gr.Slider(16, 128, value=32, step=8, label="Width", elem_id="train_training_width")
        height = gr.Slider(16, 128, value=32, step=8, label="Height", elem_id="train_training_height")
    varsize = gr.Checkbox(False, label="Do not resize images", elem_id="train_varsize")
    with gr.Row():
        shuffle = gr.Checkbox(False, label="Shuffle tags by ',' when creating prompts.", elem_id="train_shuffle_tags")
        drop_out = gr.Slider(0, 1, value=0, step=0.1, label="Drop out tags when creating prompts.", elem_id="train_tag_drop_out")
    with gr.Row():
        latents = gr.Radio(["once", "deterministic", "random"], value="once", label="Choose latent sampling method",
                           elem_id="train_latent_sampling_method")
        weights = gr.Checkbox(False, label="Use PNG alpha channel as loss weight", elem_id="use_weight")
    return [rate, network_rate, mode, clip, batch, accumulate, folder, log, template, steps, images, copies, width, height, varsize,
            shuffle, drop_out, latents, weights]


def _count(label: str, elem_id: str, value: int) -> Any:
    import gradio as gr

    return gr.Number(value=value, precision=0, label=label, elem_id=elem_id)

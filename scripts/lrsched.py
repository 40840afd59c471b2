"""The WebUI's way in: installs the hooks and registers callbacks. Everything else is in lib_lrsched."""

import mimetypes

from modules import script_callbacks

from lib_lrsched.host import hooks, options, webui
from lib_lrsched.web import endpoints, tab


def app_started(demo, app):
    """The modules are loaded and the server runs: hook the training loops, answer below /lrsched/v1."""
    endpoints.add_routes(app, hooks.install(webui.find_webui(options.read)), webui.find_door(has_page=demo is not None))


def ui_tabs():
    """The tab, in the form that the WebUI wants."""
    return [(tab.build_tab(), tab.TITLE, tab.TAB_ID)]


# The WebUI knows this type since v1.9; before, a registry may say something else, and browsers run no other type.
mimetypes.add_type("text/javascript", ".mjs")
script_callbacks.on_ui_settings(options.register)
script_callbacks.on_ui_tabs(ui_tabs)
script_callbacks.on_app_started(app_started)
# "Reload UI" runs this file again; what was hooked is put back before.
script_callbacks.on_script_unloaded(hooks.uninstall)

"""The WebUI's way in: joins the rooms and registers callbacks. Everything else is in lib_lrsched."""

import mimetypes

from modules import script_callbacks

from lib_lrsched import api, hooks, host, options, ui


def app_started(demo, app):
    """The modules are loaded and the server runs: hook the training loops, answer below /lrsched/v1."""
    api.add_routes(app, hooks.install(host.find_webui(options.read)), host.find_door(has_page=demo is not None))


def ui_tabs():
    """The tab, in the form that the WebUI wants."""
    return [(ui.build_tab(), ui.TITLE, ui.TAB_ID)]


# The WebUI knows this type since v1.9; before, a registry may say something else, and browsers run no other type.
mimetypes.add_type("text/javascript", ".mjs")
script_callbacks.on_ui_settings(options.register)
script_callbacks.on_ui_tabs(ui_tabs)
script_callbacks.on_app_started(app_started)
# "Reload UI" runs this file again; what was hooked is put back before.
script_callbacks.on_script_unloaded(hooks.uninstall)

"""The formats in which an audit can be written, by name.

Each is the path of a function that makes the whole document of an audit. Text, which
has colours, is the command's own.
"""

FORMATS = {
    "github": "syzygy.audit.formats.github.render",
    "gitlab": "syzygy.audit.formats.gitlab.render",
    "json": "syzygy.audit.formats.as_json.render",
    "markdown": "syzygy.audit.formats.markdown.render",
    "sarif": "syzygy.audit.formats.sarif.render",
}

"""The ways in which scripts take their settings, each read from source: `files` finds who reads what.

`argparsed` and `registered` read parsers, `signatures` functions and dataclasses, `configs` configuration files and
`constants` what stands in the code; all give what `declared` describes.
"""

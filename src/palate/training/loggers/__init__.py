"""What a script logs already, to its trackers, its tables and its screen: heard in a run where it is logged.

`patching` says when a library is patched; `trackers`, `frameworks` and `tables` what of each. `printed` and `lines`
read what is printed. `hearing` decides what of all that is kept; `listening` begins and ends it.
"""

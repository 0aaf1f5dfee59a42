"""ASTM: the low-level protocol E1381 (CLSI LIS01-A2) and the records E1394 (CLSI LIS02-A2) that analyzers speak.

`framing` turns bytes into frames, `session` receives, `sender` sends; `bare` and `simple` do both for devices with a
link of their own. `codec` reads and writes records, `messages` understands results, `queries` what is asked, `work`
says what there is to do, `fields` names every field for people. `conversation` puts it together on one line, with
`errands` for what waits to be sent. Nothing but `conversation`, `server` and `simulator` knows about lines or time.

Source: ASTM E1381-95; CLSI LIS01-A2 (2008); CLSI LIS02-A2 (2004), read in specs.
"""

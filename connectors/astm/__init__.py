"""ASTM: the low-level protocol E1381 (CLSI LIS01-A2) and the records E1394 (CLSI LIS02-A2) that analyzers speak.

`framing` turns bytes into frames, `session` receives, `sender` sends, `messages` reads and writes records,
`server` owns the sockets. Nothing but `server` and `simulator` knows about sockets or time.

Source: ASTM E1381-95; CLSI LIS01-A2 (2008); CLSI LIS02-A2 (2004), read in specs.
"""

"""HL7 v2 over MLLP: results, queries and acknowledgements of analyzers.

`framing` finds messages in the byte stream, `codec` reads their fields, `messages` puts them into the lab's words,
`ack` answers, `server` owns the sockets, `validation` checks and builds single messages with hl7apy.

Source: HL7 Messaging Standard 2.5.1, chapters 2, 4, 7 and 13; HL7 Transport Specification MLLP release 1, read in
specs. Older versions (2.3.1) and newer ones (2.6) are read the same way.
"""

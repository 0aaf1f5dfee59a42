"""From a stored instrument message to results of ordered tests; whatever does not fit waits for a person.

`reading` reads a message, `matching` finds the tube, `placing` writes its values, `controls` and `pictures` keep what
is no result, `rehearsal` says what a reading would do.
"""

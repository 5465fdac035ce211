"""The gates: each asks one question of a release and answers in a sentence with the numbers.

A release passes only when every gate does, so each may be wrong with probability alpha and the whole is still wrong
about harm at most that often (an intersection-union test, Berger 1982): no correction is due for passing. It is
rejected when one gate fails, and there a correction is due: `harm.py` shares alpha among the gates of one sort, and
`slice_harm.py` corrects for the number of slices.
"""

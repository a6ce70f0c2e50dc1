"""Dose and response: what changes with the share of the gradient that L_topo gets, and with how it is computed.

`plan` holds the arms, `measures` what is measured of each student, `runner` runs them, `answer` says what was found.
"""

"""Dose and response: the effect of L_topo's share of the gradient, and of its options.

`plan` defines the arms, `runner` trains them, `measures` measures each student, and `answer` summarises the results.
"""

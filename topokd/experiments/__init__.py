"""The paper's measurements: cost of networks and of the topological loss, agreement of engines, Proposition 1,
Lemma 1, panels on other data sets, studies with many seeds.
"""

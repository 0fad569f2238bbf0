"""Everything goes wrong while people work: what is done to a product, what was promised meanwhile, what must hold.

`calls` makes callers stubborn and writes down what they were promised; `troubles` draws what goes wrong
from a seed, and does it; `evidence` gathers what is there once all is quiet; `invariants` judges it, one
sentence each; `report` tells it.
"""

import os


def add(a, b):
    """Adds."""
    return {"sum": a + b}


def divide(a, b=1):
    if not b:
        return {'quotient': None, 'rest': a}
    return {'quotient': a // b, 'rest': a % b}


def _hidden(a):
    return {"x": a}


def unclear(**kwargs):
    return dict(kwargs)

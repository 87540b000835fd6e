"""Troubles: what can befall workers and servers, each with a start and a healing."""

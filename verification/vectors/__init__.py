"""Stored questions and certified answers."""

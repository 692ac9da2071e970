"""For who checks s5ref itself: what ``s5ref verify`` runs."""

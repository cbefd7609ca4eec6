"""Training of the classifier (the judge) and of the toy scorer."""

"""What things cost. `make bench` times the parts; `side_by_side.py` whole commands beside other programs."""

"""python -m rtu_edge.cli."""

from rtu_edge.cli import main

main()

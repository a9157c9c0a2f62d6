"""Robots of rtu_edge in LeRobot; learners of rtu_edge as a residual on LeRobot robots."""

from .residual import Residual
from .robot import RtuEdgeRobot, RtuEdgeRobotConfig

__all__ = ["Residual", "RtuEdgeRobot", "RtuEdgeRobotConfig"]

"""An agent's policy, and on request its learner, as one C99 file."""

from rtu_edge.learn.c_policy.policy import TEST_STEPS, export_c, rounded

__all__ = ["TEST_STEPS", "export_c", "rounded"]

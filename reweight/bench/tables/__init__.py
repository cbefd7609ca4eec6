"""The paper's tables and figures, measured by us and compared with its numbers."""

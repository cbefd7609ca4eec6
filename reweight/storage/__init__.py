"""Files on disk: strict JSON, atomic writes, checksummed files, rows of results, table documents."""

"""What auscult computes, held against public measurements (``measured_runs.csv``): FLOPs, memory, speed."""

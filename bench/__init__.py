"""What is measured side by side. bench/run runs it all."""
import pathlib
import sys

sys.path.insert(1, str(pathlib.Path(__file__).resolve().parent.parent / "test"))  # the tests' harness

"""What a study declares: its options, what it reads, what it computes, and how that is shown.

Importing this package costs nothing: no xarray, no matplotlib.
"""

from actlas.analysis.declaring.options import Options as Options
from actlas.analysis.declaring.options import option as option
from actlas.analysis.declaring.shown import Caption as Caption
from actlas.analysis.declaring.shown import Check as Check
from actlas.analysis.declaring.shown import Table as Table
from actlas.analysis.declaring.shown import cell as cell
from actlas.analysis.declaring.study import PlannedRun as PlannedRun
from actlas.analysis.declaring.study import Study as Study
from actlas.analysis.declaring.study import Subject as Subject

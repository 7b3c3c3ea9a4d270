"""Interactive charts of results: what all studies share. A chart is a Vega-Lite specification.

Specifications are plain dictionaries: nothing is imported to make one, and Altair reads them.
"""

from actlas.analysis.charts.dots import Dots as Dots
from actlas.analysis.charts.dots import dots as dots
from actlas.analysis.charts.groups import bounded as bounded
from actlas.analysis.charts.groups import ends as ends
from actlas.analysis.charts.groups import group_labels as group_labels
from actlas.analysis.charts.groups import group_series as group_series
from actlas.analysis.charts.groups import interval as interval
from actlas.analysis.charts.lines import Lines as Lines
from actlas.analysis.charts.lines import lines as lines
from actlas.analysis.charts.lines import scale_of as scale_of
from actlas.analysis.charts.lines import with_zero as with_zero
from actlas.analysis.charts.maps import Map as Map
from actlas.analysis.charts.maps import heat_map as heat_map
from actlas.analysis.charts.records import Records as Records
from actlas.analysis.charts.records import number as number
from actlas.analysis.charts.records import plain as plain
from actlas.analysis.charts.spec import HEIGHT as HEIGHT
from actlas.analysis.charts.spec import WIDTH as WIDTH
from actlas.analysis.charts.spec import Chart as Chart
from actlas.analysis.charts.spec import Series as Series
from actlas.analysis.charts.spec import beside as beside
from actlas.analysis.charts.spec import chart as chart
from actlas.analysis.charts.spec import choice as choice
from actlas.analysis.charts.spec import facet as facet
from actlas.analysis.charts.spec import tips as tips

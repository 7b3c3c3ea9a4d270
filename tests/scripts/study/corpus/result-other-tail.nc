x 000000000002 actlas-export

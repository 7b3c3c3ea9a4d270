‰HDF

{}
000000000003 actlas-result

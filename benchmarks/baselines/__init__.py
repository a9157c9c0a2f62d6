"""Other recurrent predictors, for comparison: plain NumPy in double precision, batched over seeds.

$ python -m benchmarks.baselines                     # error, operations and bytes on trace conditioning

cells      GRU (reset after), LSTM, IndRNN, dense (leaky) RNN, columns; one derivative per gate
credit     RTRL, SnAp-1, UORO, RFLO, TBPTT(k) over any of these cells
predictor  TD(lambda) on top, and the constructive network
counts     operations and bytes of a step, of each pair of cell and credit rule
"""

"""Load and soak on real servers: many customers, and clients that behave badly, for minutes.

`make soak` runs `python -m soak`; `test_soak.py` runs a short slice of the same.

    pages     what the site answers, and what each visitor must get of it
    sites     the site, in each framework
    figures   what a worker tells of its memory, and of what it has left open
    client    raw HTTP/1.1 over one connection, pipelined too
    visits    what clients do: browse, pipeline, stall, leave, and send slowly
    soaking   runs them all against one server, and judges
"""

"""Checks an installation from outside: the command `ensoras-middleware check URL`.

`visits` fetches the page as one visitor after the other. What is said of the pages is decided by
functions from pages to findings, without input or output: `tag`, `identify`, `hashes`, `caching`,
`customers`, `policy`, `surroundings`. Nothing that leaves this package shows a whole e-mail
address, a hash, a secret or a credential. Needs the extra `check`.
"""

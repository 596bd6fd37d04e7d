"""One small tea shop, three times: with Flask, with Django and with Starlette."""

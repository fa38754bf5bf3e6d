"""The same random commands for two servers that speak RESP, and a comparison of every reply."""

"""The database: where the truth is. A transaction is short and never spans a call to an agent."""

from cumulet.model.database import Database, Tx

__all__ = ["Database", "Tx"]

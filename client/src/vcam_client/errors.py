"""The errors of vcam.

VcamError
├── InputError (ValueError)            the scan or an argument
│   ├── ScanNotFoundError (FileNotFoundError)
│   ├── UnsupportedFormatError         not a kind of file that vcam reads
│   ├── CorruptFileError               the right kind of file, but damaged
│   ├── InconsistentSeriesError        slices that make no volume
│   └── IncompatibleScanError          a volume that this model can't take
├── OutputError (OSError)              a result that can't be written
├── ServerError (RuntimeError)         the server refused or failed
│   ├── ServerUnavailableError (ConnectionError)
│   │   └── CallBrokenError            the connection broke during the call
│   ├── ServerBusyError
│   ├── ServerMemoryError
│   ├── AccessDeniedError (PermissionError)
│   ├── DeadlineExceededError (TimeoutError)
│   └── ModelNotFoundError (LookupError)
├── ContractError (ValueError)         a model or an answer breaks the contract
├── ServableError (RuntimeError)       an exported model can't be served
└── ConfigError (ValueError)           a training config or its data

Every message says what was expected, what was received and what to do next.
"""


class VcamError(Exception):
    """Base of every error that vcam raises on purpose."""


class InputError(VcamError, ValueError):
    """A scan or an argument can't be used."""


class ScanNotFoundError(InputError, FileNotFoundError):
    """There is no file or folder at the path."""


class UnsupportedFormatError(InputError):
    """The file is not of a kind that vcam reads."""


class CorruptFileError(InputError):
    """The file is of a known kind, but damaged."""


class InconsistentSeriesError(InputError):
    """The slices found don't make one volume."""


class IncompatibleScanError(InputError):
    """The volume is fine, but this model can't take it."""


class OutputError(VcamError, OSError):
    """A result can't be written."""


class ServerError(VcamError, RuntimeError):
    """The server refused the call or failed in it."""


class ServerUnavailableError(ServerError, ConnectionError):
    """No server answers at the address."""


class CallBrokenError(ServerUnavailableError):
    """The connection broke during the call; the server may have ended because of it."""


class ServerBusyError(ServerError):
    """The server has no room for the call now."""


class ServerMemoryError(ServerError):
    """The server ran out of memory in the call."""


class AccessDeniedError(ServerError, PermissionError):
    """A certificate or a token is not accepted."""


class DeadlineExceededError(ServerError, TimeoutError):
    """The server did not answer in time."""


class ModelNotFoundError(ServerError, LookupError):
    """The server does not serve the model or the version."""


class ContractError(VcamError, ValueError):
    """A model spec or an answer breaks the contract with the client."""


class ServableError(VcamError, RuntimeError):
    """An exported model can't be loaded, verified or published."""


class ConfigError(VcamError, ValueError):
    """A training config or its data can't be used."""

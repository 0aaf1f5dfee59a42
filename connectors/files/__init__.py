"""Object storage: documents in one versioned S3 bucket, through the `minio` client.

Source: Amazon S3 API Reference, API version 2006-03-01; minio-py 7.2, specs.
"""

from connectors.files.connector import FilesConnector, StoredObject, object_key
from connectors.files.settings import FilesSettings

__all__ = ["FilesConnector", "FilesSettings", "StoredObject", "object_key"]

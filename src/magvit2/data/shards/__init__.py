"""Token shards: the ids of many clips as Parquet, one row a clip, for training on tokens and for tools of any language.

A folder of `tokens-00000.parquet`, `tokens-00001.parquet`, ...; docs/formats.md has the columns. What all rows share
(space, fingerprint, how they were cut) is JSON in the schema's metadata. Ids lie as the smallest of uint8, uint16,
int32 and int64 that holds the vocabulary, on disk and in memory. Each row's checksum covers the row and that JSON, so
damage anywhere is told, and in which row.
"""

from magvit2.data.shards.format import rate as rate
from magvit2.data.shards.reader import TokenRow as TokenRow
from magvit2.data.shards.reader import TokenShards as TokenShards
from magvit2.data.shards.reader import read_token_shards as read_token_shards
from magvit2.data.shards.reader import shards_of as shards_of
from magvit2.data.shards.writer import TokenShardWriter as TokenShardWriter

"""BatchRecommender: recommendations for every user of the train split, as Parquet."""

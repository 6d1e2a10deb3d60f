//! The API types of `loadtest.dev/v1alpha1`, and nothing else.

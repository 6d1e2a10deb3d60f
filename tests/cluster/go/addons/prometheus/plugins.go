// Package plugins takes the place of Prometheus' plugins/plugins.go, which build-go.sh replaces: of the ways to discover
// targets the cluster needs this one, and the others bring the clouds' libraries along.
package plugins

import (
	_ "github.com/prometheus/prometheus/discovery/kubernetes"
)

//go:build wasip1

package shaddock

import (
	"shaddock/internal/component"
	"shaddock/internal/host"

	_ "wit_component/wit_exports"
)

func init() {
	host.Here = component.Host{}
}

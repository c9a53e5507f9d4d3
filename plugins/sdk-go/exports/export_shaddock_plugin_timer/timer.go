//go:build wasip1

// Package export_shaddock_plugin_timer is called by the generated bindings, which want this name.
package export_shaddock_plugin_timer

import (
	"shaddock/internal/component"
	"shaddock/internal/host"

	wit "go.bytecodealliance.org/pkg/wit/types"
	types "wit_component/shaddock_plugin_types"
)

// Fired runs a timer's function.
func Fired(name string, _ uint64, payload []byte) wit.Result[wit.Unit, types.Failure] {
	defer component.Begin()()
	return component.Done(host.Served.Fired(name, payload))
}

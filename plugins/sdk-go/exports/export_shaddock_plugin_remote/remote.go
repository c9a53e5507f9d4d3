//go:build wasip1

// Package export_shaddock_plugin_remote is called by the generated bindings, which want this name.
package export_shaddock_plugin_remote

import (
	"shaddock/internal/component"
	"shaddock/internal/host"

	wit "go.bytecodealliance.org/pkg/wit/types"
	types "wit_component/shaddock_plugin_types"
)

// Methods are the methods served.
func Methods() []string {
	return host.Served.Methods()
}

// Call answers a call of another plugin.
func Call(method string, args []byte) wit.Result[[]byte, types.Failure] {
	defer component.Begin()()
	return component.Answered(host.Served.Call(method, args))
}

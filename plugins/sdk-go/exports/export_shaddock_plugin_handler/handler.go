//go:build wasip1

// Package export_shaddock_plugin_handler is called by the generated bindings, which want this name.
package export_shaddock_plugin_handler

import (
	"shaddock/internal/component"
	"shaddock/internal/host"

	wit "go.bytecodealliance.org/pkg/wit/types"
	types "wit_component/shaddock_plugin_types"
)

// Routes are the routes served.
func Routes() []string {
	return host.Served.Routes()
}

// Handle handles a message.
func Handle(route string, body []byte, session types.Session) wit.Result[[]byte, types.Failure] {
	defer component.Begin()()
	return component.Answered(host.Served.Handle(route, body, component.SessionOf(session)))
}

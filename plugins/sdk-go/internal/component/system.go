//go:build wasip1

// Package component is the plugin as a component: what the generated bindings call, and how they are called.
package component

import (
	"crypto/rand"
	"unsafe"

	"wit_component/shaddock_plugin_app"
)

// What follows is in system.wat, which stands in for WASI.

//go:wasmimport wasi_snapshot_preview1 shaddock_reachable
func reachable(is bool)

//go:wasmimport wasi_snapshot_preview1 shaddock_storing
func setStoring(is bool)

//go:wasmimport wasi_snapshot_preview1 shaddock_lines
func lines(buffer unsafe.Pointer, size uint32)

//go:wasmimport wasi_snapshot_preview1 shaddock_seed
func seed(at unsafe.Pointer)

// A line of output, while it is written.
var line [8192]byte

var seeded bool

func init() {
	lines(unsafe.Pointer(&line), uint32(len(line)))
	rand.Reader = reader{}
}

// Begin is called where a call begins that may reach the host, and answers what its end calls.
func Begin() (end func()) {
	reachable(true)
	if !seeded {
		seeded = true
		seed(unsafe.Pointer(unsafe.SliceData(randomBytes(32))))
		reseed()
	}
	return atEnd
}

// Beside is Begin for a route function, and for what runs in its instance: no clock, no random numbers.
func Beside() (end func()) {
	return atEnd
}

func atEnd() {
	reachable(false)
}

// storing is called before a call of the host that gives back something with memory of its own, and answers what comes after
// it: the host has Go allocate that memory, which may begin a collection of garbage, and there the host cannot be called.
func storing() (end func()) {
	setStoring(true)
	return stored
}

func stored() {
	setStoring(false)
}

func randomBytes(count uint32) []byte {
	defer storing()()
	return shaddock_plugin_app.RandomBytes(count)
}

// reader gives the random bytes of the host.
type reader struct{}

func (reader) Read(into []byte) (int, error) {
	for done := 0; done < len(into); {
		done += copy(into[done:], randomBytes(uint32(min(len(into)-done, 4096))))
	}
	return len(into), nil
}

// The global functions of math/rand draw from the runtime's own numbers, which it makes when an instance begins. At that
// moment the host cannot be asked, so that they would be the same in every instance: they are made once more.

// As the runtime declares it, up to the field of interest.
//
//go:linkname globalRand runtime.globalRand
var globalRand struct {
	lock  uintptr
	seed  [32]byte
	state struct {
		buf     [32]uint64
		seed    [4]uint64
		i, n, c uint32
	}
	init bool
}

//go:linkname allm runtime.allm
var allm unsafe.Pointer

//go:linkname randinit runtime.randinit
func randinit()

//go:linkname mrandinit runtime.mrandinit
func mrandinit(m unsafe.Pointer)

func reseed() {
	globalRand.init = false
	randinit()
	mrandinit(allm)
}

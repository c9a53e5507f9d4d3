package shaddock

import (
	"encoding/json/jsontext"
	"encoding/json/v2"
)

// encode writes a value as JSON.
func encode(value any) ([]byte, error) {
	return json.Marshal(value, json.Deterministic(true))
}

func decode[T any](body []byte) (value T, err error) {
	err = json.Unmarshal(body, &value, jsontext.AllowDuplicateNames(true))
	return value, err
}

// read reads what somebody else sent: what does not fit is their fault.
func read[T any](body []byte) (T, error) {
	value, err := decode[T](body)
	if err != nil {
		err = Fail(400, "%s", err)
	}
	return value, err
}

func decodeInto(text string, into any) error {
	return json.Unmarshal([]byte(text), into, jsontext.AllowDuplicateNames(true))
}

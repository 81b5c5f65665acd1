package optest

// discovery is the metadata of OpenID Connect Discovery 1.0 section 3, with RFC 9207's flag and, as real providers have
// them, members that no client knows.
func (h *Handler) discovery(a *Answer, _ Request) *Answer {
	a.HTTPHeader.Set("Content-Type", "application/json")
	a.HTTPHeader.Set("Cache-Control", "public, max-age=300")
	a.JSON = map[string]any{
		"issuer":                                           h.issuer,
		"authorization_endpoint":                           h.base + pathAuthorize,
		"token_endpoint":                                   h.base + pathToken,
		"userinfo_endpoint":                                h.base + pathUserInfo,
		"jwks_uri":                                         h.base + pathKeys,
		"end_session_endpoint":                             h.base + pathLogout,
		"revocation_endpoint":                              h.base + pathRevoke,
		"backchannel_logout_supported":                     true,
		"backchannel_logout_session_supported":             true,
		"frontchannel_logout_supported":                    true,
		"frontchannel_logout_session_supported":            true,
		"response_types_supported":                         []string{"code", "id_token", "code id_token", "token code", "token code id_token"},
		"response_modes_supported":                         []string{modeQuery, modeFragment, modeFormPost},
		"grant_types_supported":                            []string{"authorization_code", "implicit", "refresh_token", "client_credentials", grantExchange},
		"subject_types_supported":                          []string{"public"},
		"scopes_supported":                                 []string{"openid", "profile", "email", "address", "phone", "offline_access"},
		"claims_supported":                                 claimNames(),
		"id_token_signing_alg_values_supported":            algorithms,
		"userinfo_signing_alg_values_supported":            algorithms,
		"token_endpoint_auth_methods_supported":            authMethods,
		"token_endpoint_auth_signing_alg_values_supported": algorithms,
		"revocation_endpoint_auth_methods_supported":       authMethods,
		"code_challenge_methods_supported":                 []string{"S256"},
		"prompt_values_supported":                          []string{"none", "login", "consent", "select_account"},
		"claims_parameter_supported":                       true,
		"request_parameter_supported":                      false,
		"request_uri_parameter_supported":                  false,
		"authorization_response_iss_parameter_supported":   true,
		// A client ignores what it does not know.
		"mfa_challenge_endpoint": h.base + "/mfa/challenge",
		"x_optest":               map[string]any{"for": "tests only", "production": false},
	}
	if h.config.ACRValues != nil {
		a.JSON["acr_values_supported"] = h.config.ACRValues
	}
	return a
}

func (h *Handler) jwks(a *Answer, _ Request) *Answer {
	a.HTTPHeader.Set("Content-Type", "application/json")
	a.HTTPHeader.Set("Cache-Control", "public, max-age=300")
	a.JSON = map[string]any{"keys": h.publicKeys()}
	return a
}

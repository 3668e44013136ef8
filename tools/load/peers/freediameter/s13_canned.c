/* An S13 server as an extension of freeDiameter, to be measured: every device
 * is blacklisted. It looks nothing up, so that a register behind it would only
 * make it slower.
 *
 * What the dictionary needs for requests to be parsed and answered is from
 * TS 29.272 clauses 7.2.19, 7.2.20 and 7.3.1. */

#include <freeDiameter/extension.h>

#define VENDOR_3GPP 10415
#define S13 16777252
#define ME_IDENTITY_CHECK 324
#define BLACKLISTED 1
#define NO_STATE_MAINTAINED 1

static struct dict_object *equipment_status;
static struct dict_object *auth_session_state;
static struct disp_hdl *handler;

/* Adds an AVP with a number. */
static int add_number(struct msg *msg, struct dict_object *model, int32_t number)
{
	struct avp *avp;
	union avp_value value;

	CHECK_FCT(fd_msg_avp_new(model, 0, &avp));
	value.i32 = number;
	CHECK_FCT(fd_msg_avp_setvalue(avp, &value));
	return fd_msg_avp_add(msg, MSG_BRW_LAST_CHILD, avp);
}

/* Answers a request. */
static int answer(struct msg **msg, struct avp *avp, struct session *session,
		  void *opaque, enum disp_action *action)
{
	(void)avp;
	(void)session;
	(void)opaque;
	(void)action;
	CHECK_FCT(fd_msg_new_answer_from_req(fd_g_config->cnf_dict, msg, 0));
	CHECK_FCT(fd_msg_rescode_set(*msg, "DIAMETER_SUCCESS", NULL, NULL, 1));
	CHECK_FCT(add_number(*msg, auth_session_state, NO_STATE_MAINTAINED));
	CHECK_FCT(add_number(*msg, equipment_status, BLACKLISTED));
	return fd_msg_send(msg, NULL, NULL);
}

/* Makes an AVP of 3GPP known. */
static int define_avp(int code, char *name, enum dict_avp_basetype type,
		      struct dict_object **made)
{
	struct dict_avp_data data = { code, VENDOR_3GPP, name,
		AVP_FLAG_VENDOR | AVP_FLAG_MANDATORY,
		AVP_FLAG_VENDOR | AVP_FLAG_MANDATORY, type };

	return fd_dict_new(fd_g_config->cnf_dict, DICT_AVP, &data, NULL, made);
}

/* Makes a command known. */
static int define_command(struct dict_object *application, char *name, int flags,
			  struct dict_object **made)
{
	struct dict_cmd_data data = { ME_IDENTITY_CHECK, name,
		CMD_FLAG_REQUEST | CMD_FLAG_PROXIABLE | CMD_FLAG_ERROR, flags };

	return fd_dict_new(fd_g_config->cnf_dict, DICT_COMMAND, &data, application, made);
}

/* Called once, when the extension is loaded. */
static int s13_canned_entry(char *conffile)
{
	struct dictionary *dict = fd_g_config->cnf_dict;
	struct dict_vendor_data vendor_data = { VENDOR_3GPP, "3GPP" };
	struct dict_application_data application_data = { S13, "S13" };
	struct dict_object *vendor, *application, *request, *other;
	struct disp_when when;

	(void)conffile;
	if (fd_dict_search(dict, DICT_VENDOR, VENDOR_BY_NAME, "3GPP", &vendor, ENOENT) != 0)
		CHECK_FCT(fd_dict_new(dict, DICT_VENDOR, &vendor_data, NULL, &vendor));
	CHECK_FCT(fd_dict_new(dict, DICT_APPLICATION, &application_data, vendor, &application));
	CHECK_FCT(define_command(application, "ME-Identity-Check-Request",
				 CMD_FLAG_REQUEST | CMD_FLAG_PROXIABLE, &request));
	CHECK_FCT(define_command(application, "ME-Identity-Check-Answer",
				 CMD_FLAG_PROXIABLE, &other));
	CHECK_FCT(define_avp(1401, "Terminal-Information", AVP_TYPE_GROUPED, &other));
	CHECK_FCT(define_avp(1402, "IMEI", AVP_TYPE_OCTETSTRING, &other));
	CHECK_FCT(define_avp(1403, "Software-Version", AVP_TYPE_OCTETSTRING, &other));
	CHECK_FCT(define_avp(1445, "Equipment-Status", AVP_TYPE_INTEGER32, &equipment_status));
	CHECK_FCT(fd_dict_search(dict, DICT_AVP, AVP_BY_NAME, "Auth-Session-State",
				 &auth_session_state, ENOENT));

	memset(&when, 0, sizeof(when));
	when.app = application;
	when.command = request;
	CHECK_FCT(fd_disp_register(answer, DISP_HOW_CC, &when, NULL, &handler));
	return fd_disp_app_support(application, vendor, 1, 0);
}

EXTENSION_ENTRY("s13_canned", s13_canned_entry);

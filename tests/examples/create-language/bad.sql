CREATE LANGUAGE plx HANDLER plx_call_handler;

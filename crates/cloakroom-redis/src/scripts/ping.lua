-- Changes something, to find out whether anything can be; answers what the server's clock says.

call('SET', key('ping', 'written'), 1)
return call('TIME')
